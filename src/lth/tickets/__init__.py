"""Tickets: a mask and the rewound weights it keeps, in one self-describing file."""

from lth.tickets.header import Accuracy, Parent, TicketData, TicketHeader, TicketModel
from lth.tickets.ticket import Ticket

__all__ = ["Accuracy", "Parent", "Ticket", "TicketData", "TicketHeader", "TicketModel"]

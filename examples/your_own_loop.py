"""Lottery tickets in a PyTorch loop of your own, with a network lth does not know: python your_own_loop.py"""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from lth import Enforcer, magnitude_masks

torch.manual_seed(0)
torch.set_num_threads(1)  # a network this small is fastest on one core
x = torch.randn(6000, 1, 8, 8)
y = 2 * (x[:, 0, :4, 0].sum(1) > 0) + (x[:, 0, 7, :4].sum(1) > 0)  # 4 classes, decided by 8 of the 64 pixels
x_train, y_train, x_test, y_test = x[:4000], y[:4000], x[4000:], y[4000:]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.norm, self.output = nn.Linear(64, 200), nn.BatchNorm1d(200), nn.Linear(200, 4)

    def forward(self, x):
        return self.output(self.norm(self.hidden(x.flatten(1))).relu())


def train(model, optimizer, epochs):
    for epoch in epochs:
        model.train()
        for batch in torch.randperm(4000, generator=torch.Generator().manual_seed(epoch)).split(50):
            optimizer.zero_grad()
            cross_entropy(model(x_train[batch]), y_train[batch]).backward()
            optimizer.step()
    return (model.eval()(x_test).argmax(1) == y_test).float().mean().item()


model = Net()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-4)
train(model, optimizer, range(1))
rewind = {name: value.clone() for name, value in model.state_dict().items()}  # the rewind point: after 1 epoch
print(f"dense          density 1.000  test accuracy {train(model, optimizer, range(1, 8)):.3f}")

masks = magnitude_masks(model, [0.8, 0.9, 0.95, 0.98, 0.99], scope="layerwise", rates={"output.weight": 0.5})
for sparsity, mask in masks.items():
    model.load_state_dict(rewind)  # the whole state: batch norm statistics too
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-4)  # a fresh one
    enforcer = Enforcer(model, mask, optimizer)  # the pruned weights are 0 from here on
    accuracy = train(model, optimizer, range(1, 8))
    print(f"sparsity {sparsity:<4}  density {mask.density:.3f}  test accuracy {accuracy:.3f}")
    enforcer.remove()

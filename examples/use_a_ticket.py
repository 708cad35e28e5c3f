"""Opens a ticket file with safetensors and torch alone, without lth: python use_a_ticket.py ticket.safetensors"""

import json
import math
import sys
from collections import OrderedDict

import torch
from safetensors import safe_open

with safe_open(sys.argv[1], framework="pt") as file:
    header = json.loads(file.metadata()["lth"])
    tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118

# Everything that is not masked (biases, normalisation) is stored whole.
state = {name.removeprefix("rewound_state/"): t for name, t in tensors.items() if name.startswith("rewound_state/")}

# A masked weight is stored as one bit a position, least significant bit first, and the values of the 1 bits in order.
for name, shape in header["shapes"].items():
    bits = tensors[f"mask/{name}"].unsqueeze(1) >> torch.arange(8, dtype=torch.uint8) & 1
    mask = bits.flatten()[: math.prod(shape)].reshape(shape).bool()
    values = tensors[f"rewound/{name}"]
    state[name] = torch.zeros(shape, dtype=values.dtype).masked_scatter(mask, values)
    print(f"{name} {tuple(shape)}: {values.numel()} of {mask.numel()} weights kept, density {mask.double().mean():.4f}")

print(f"{header['model']['name']} at sparsity {header['sparsity']}, rewound to {header['rewind']}")

if header["model"]["name"] == "lenet_300_100":
    linear = {name: torch.nn.Linear(*reversed(state[f"{name}.weight"].shape)) for name in ("fc1", "fc2", "output")}
    flat, relu = torch.nn.Flatten(), torch.nn.ReLU()
    model = torch.nn.Sequential(OrderedDict(flat=flat, fc1=linear["fc1"], relu1=relu, fc2=linear["fc2"], relu2=relu,
                                            output=linear["output"]))  # fmt: skip
    model.load_state_dict(state)  # strict: every name and shape fits
    print("logits of a blank image:", model(torch.zeros(1, *header["model"]["input_shape"])).tolist())

"""The presets written in torch, with torch's own modules and the names that the usual code gives
them: LeNet-5, torchvision's ResNets, a wide ResNet, timm's ViT and nanoGPT."""

import math

import torch
from torch import nn
from torch.nn import functional as F


class BatchNorm(nn.BatchNorm2d):
    """torch's batch norm; the next running statistics are kept as nodes of the graph, and the
    evaluation is written out, for torch's own is not differentiable in them."""

    def forward(self, x):
        if self.training:
            with torch.no_grad():
                n = x.numel() / x.shape[1]
            var, mean = torch.var_mean(x, (0, 2, 3), unbiased=False)
            m = self.momentum
            self.next = {
                "running_mean": (1 - m) * self.running_mean + m * mean,
                "running_var": (1 - m) * self.running_var + m * var * n / (n - 1),
            }
            return F.batch_norm(x, None, None, self.weight, self.bias, True, 0.0, self.eps)
        scale = self.weight / torch.sqrt(self.running_var + self.eps)
        return (x - self.running_mean[:, None, None]) * scale[:, None, None] + self.bias[
            :, None, None
        ]


def conv(a, b, size, stride=1, pad=0):
    return nn.Conv2d(a, b, size, stride, pad, bias=False)


class LeNet5(nn.Module):
    def __init__(self, channels, size, classes, width):
        super().__init__()
        second = width * 16 // 6
        pad = 2 if size <= 28 else 0
        side = ((size + 2 * pad - 4) // 2 - 4) // 2
        self.conv1 = nn.Conv2d(channels, width, 5, padding=pad)
        self.conv2 = nn.Conv2d(width, second, 5)
        self.fc1 = nn.Linear(second * side * side, width * 20)
        self.fc2 = nn.Linear(width * 20, width * 14)
        self.fc3 = nn.Linear(width * 14, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.flatten(1))))))


class Block(nn.Module):
    """BasicBlock and Bottleneck of torchvision.models.resnet."""

    def __init__(self, a, b, stride, bottleneck):
        super().__init__()
        out = 4 * b if bottleneck else b
        if bottleneck:
            self.conv1, self.conv2 = conv(a, b, 1), conv(b, b, 3, stride, 1)
            self.conv3, self.bn3 = conv(b, out, 1), BatchNorm(out)
        else:
            self.conv1, self.conv2 = conv(a, b, 3, stride, 1), conv(b, b, 3, 1, 1)
        self.bn1, self.bn2 = BatchNorm(b), BatchNorm(b)
        self.bottleneck = bottleneck
        self.downsample = None
        if stride > 1 or a != out:
            self.downsample = nn.Sequential(conv(a, out, 1, stride), BatchNorm(out))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.bottleneck:
            y = self.bn3(self.conv3(F.relu(y)))
        return F.relu(y + (self.downsample(x) if self.downsample else x))


class ResNet(nn.Module):
    def __init__(self, channels, classes, width, stages, bottleneck=False, imagenet_stem=False):
        super().__init__()
        stem = (7, 2, 3) if imagenet_stem else (3, 1, 1)
        self.imagenet_stem = imagenet_stem
        self.conv1, self.bn1 = conv(channels, width, *stem), BatchNorm(width)
        self.stages, a = len(stages), width
        for s, blocks in enumerate(stages):
            b = width << s
            stage = []
            for i in range(blocks):
                stage.append(Block(a, b, 2 if s > 0 and i == 0 else 1, bottleneck))
                a = 4 * b if bottleneck else b
            setattr(self, f"layer{s + 1}", nn.Sequential(*stage))
        self.fc = nn.Linear(a, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        if self.imagenet_stem:
            x = F.max_pool2d(x, 3, 2, 1)
        for s in range(self.stages):
            x = getattr(self, f"layer{s + 1}")(x)
        return self.fc(x.mean((2, 3)))


class WideBlock(nn.Module):
    def __init__(self, a, b, stride):
        super().__init__()
        self.bn1, self.conv1 = BatchNorm(a), conv(a, b, 3, stride, 1)
        self.bn2, self.conv2 = BatchNorm(b), conv(b, b, 3, 1, 1)
        self.convShortcut = None if a == b else conv(a, b, 1, stride)

    def forward(self, x):
        bent = F.relu(self.bn1(x))
        y = self.conv2(F.relu(self.bn2(self.conv1(bent))))
        return y + (self.convShortcut(bent) if self.convShortcut else x)


class WideStage(nn.Module):
    def __init__(self, a, b, stride):
        super().__init__()
        self.layer = nn.Sequential(WideBlock(a, b, stride), WideBlock(b, b, 1))

    def forward(self, x):
        return self.layer(x)


class WideResNet(nn.Module):
    def __init__(self, channels, classes, width):
        super().__init__()
        self.conv1 = conv(channels, 16, 3, 1, 1)
        self.block1 = WideStage(16, width, 1)
        self.block2 = WideStage(width, 2 * width, 2)
        self.block3 = WideStage(2 * width, 4 * width, 2)
        self.bn1, self.fc = BatchNorm(4 * width), nn.Linear(4 * width, classes)

    def forward(self, x):
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        return self.fc(F.relu(self.bn1(x)).mean((2, 3)))


def attend(qkv, heads, causal):
    """torch's scaled dot-product attention; its plain kernel, which can be derived twice."""
    b, t, c = qkv.shape
    q, k, v = qkv.reshape(b, t, 3, heads, c // (3 * heads)).permute(2, 0, 3, 1, 4)
    with nn.attention.sdpa_kernel(nn.attention.SDPBackend.MATH):
        y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    return y.transpose(1, 2).reshape(b, t, c // 3)


class Modules(nn.Module):
    """A module for each name that is given."""

    def __init__(self, **modules):
        super().__init__()
        for name, m in modules.items():
            self.add_module(name, m)


class ViTBlock(nn.Module):
    def __init__(self, c, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(c, 1e-6), nn.LayerNorm(c, 1e-6)
        self.attn = Modules(qkv=nn.Linear(c, 3 * c), proj=nn.Linear(c, c))
        self.mlp = Modules(fc1=nn.Linear(c, 4 * c), fc2=nn.Linear(4 * c, c))

    def forward(self, x):
        x = x + self.attn.proj(attend(self.attn.qkv(self.norm1(x)), self.heads, False))
        return x + self.mlp.fc2(F.gelu(self.mlp.fc1(self.norm2(x))))


class ViT(nn.Module):
    def __init__(self, channels, size, classes, patch, width, depth, heads):
        super().__init__()
        self.patch_embed = Modules(proj=nn.Conv2d(channels, width, patch, patch))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + (size // patch) ** 2, width))
        self.blocks = nn.Sequential(*[ViTBlock(width, heads) for _ in range(depth)])
        self.norm, self.head = nn.LayerNorm(width, 1e-6), nn.Linear(width, classes)

    def forward(self, x):
        x = self.patch_embed.proj(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        return self.head(self.norm(self.blocks(x))[:, 0])


class GPTBlock(nn.Module):
    def __init__(self, c, heads):
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(c), nn.LayerNorm(c)
        self.attn = Modules(c_attn=nn.Linear(c, 3 * c), c_proj=nn.Linear(c, c))
        self.mlp = Modules(c_fc=nn.Linear(c, 4 * c), c_proj=nn.Linear(4 * c, c))

    def forward(self, x):
        x = x + self.attn.c_proj(attend(self.attn.c_attn(self.ln_1(x)), self.heads, True))
        return x + self.mlp.c_proj(F.gelu(self.mlp.c_fc(self.ln_2(x))))


class GPT(nn.Module):
    """Outputs [n, vocabulary, t], as torch's cross-entropy takes them."""

    def __init__(self, vocabulary, length, width, depth, heads):
        super().__init__()
        self.transformer = Modules(
            wte=nn.Embedding(vocabulary, width),
            wpe=nn.Embedding(length, width),
            h=nn.ModuleList([GPTBlock(width, heads) for _ in range(depth)]),
            ln_f=nn.LayerNorm(width),
        )
        self.lm_head = nn.Linear(width, vocabulary, bias=False)
        self.lm_head.weight = self.transformer.wte.weight

    def forward(self, ids):
        t = self.transformer
        x = t.wte(ids) + t.wpe(torch.arange(ids.shape[1]))
        for block in t.h:
            x = block(x)
        return F.linear(t.ln_f(x), t.wte.weight).transpose(1, 2)


def parameters(module):
    """Start values by name, running statistics among them, all of them random and in double."""
    draw = torch.Generator().manual_seed(7)
    named = dict(module.named_parameters())
    named.update({k: v for k, v in module.named_buffers() if not k.endswith("tracked")})
    values = {}
    for name, v in named.items():
        x = torch.randn(v.shape, generator=draw, dtype=torch.float64)
        last = name.rpartition(".")[2]
        if v.dim() > 1:
            values[name] = x / math.sqrt(v[0].numel())
        elif last == "running_var" or (last == "weight" and v.dim() == 1):
            values[name] = 1 + 0.2 * torch.tanh(x)
        else:
            values[name] = 0.2 * x
    return values

"""Full-size Lotus-D with random weights: seconds and memory, beside the stock modules of diffusers in the same run."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache

_RUN = """
import json, resource, sys, time
import numpy as np, torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from lotus_recon.models.cpu import lay_out
from lotus_recon.models.lotus.checkpoints import RELEASED
from lotus_recon.models.lotus.model import LotusModel, LotusPair
from lotus_recon.models.lotus.parts import Parts
how, device, number_format = sys.argv[1], torch.device(sys.argv[2]), getattr(torch, sys.argv[3])
if device.type == "cpu":
    torch.set_num_threads(2)
torch.manual_seed(0)
config = {"sample_size": 96, "in_channels": 4, "out_channels": 4, "block_out_channels": (320, 640, 1280, 1280),
          "attention_head_dim": (5, 10, 20, 20), "cross_attention_dim": 1024, "use_linear_projection": True,
          "class_embed_type": "projection", "projection_class_embeddings_input_dim": 4}
blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4,
          "block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "sample_size": 768}
torch.set_default_dtype(number_format)
vae = AutoencoderKL(**blocks).eval().to(device)
unet = UNet2DConditionModel(**config).eval().to(device)
torch.set_default_dtype(torch.float32)
prompt = torch.zeros((1, 2, 1024), dtype=number_format, device=device)
photo = np.random.default_rng(0).integers(0, 256, (576, 768, 3), dtype=np.uint8)
image = torch.from_numpy(photo).permute(2, 0, 1)[None].to(device, number_format) / 127.5 - 1
label = torch.tensor([[0.84, 0.0, 0.54, 1.0]], dtype=number_format, device=device)

@torch.inference_mode()
def stock():
    latent = vae.encode(image).latent_dist.mode() * 0.18215
    sample = unet(latent, 999, encoder_hidden_states=prompt, class_labels=label, return_dict=False)[0]
    return vae.decode(sample / 0.18215, return_dict=False)[0].float().cpu()

def model(name):
    return LotusModel(name, Parts(unet, vae, None, prompt, prompt, device, number_format), RELEASED[name])

if how != "stock":
    lay_out(vae, device)
    if number_format != torch.float32:
        lay_out(unet, device)
    depth, normal = model("lotus-depth-d-v2-0-disparity"), model("lotus-normal-d-v1-1")
    pair = LotusPair("lotus-d", depth, normal)
work = {"stock": stock, "ours": lambda: depth.predict(photo), "pair": lambda: pair.predict(photo)}[how]
if device.type == "cuda":
    work()
started = time.perf_counter()
work()
if device.type == "cuda":
    torch.cuda.synchronize()
print(json.dumps([time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6]))
"""


@cache
def lotus_cost(how: str, device: str = "cpu", number_format: str = "float32") -> tuple[float, float]:
    """Seconds and peak memory in GB of a map of 576x768, by ``stock`` modules or ``ours``, or of both of a ``pair``."""
    command = [sys.executable, "-c", _RUN, how, device, number_format]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, memory = json.loads(answer.stdout.splitlines()[-1])
    return float(seconds), float(memory)


def lotus_lines() -> list[str]:
    """The table that ``bench`` prints, on two threads."""
    lines = ["full-size Lotus-D, random weights, one photo of 576x768, 2 threads (asked: 0.6 of stock modules, 5 GB)"]
    stock = lotus_cost("stock")
    costs = {
        "stock modules, float32": stock,
        "ours, float32": lotus_cost("ours"),
        "ours, bfloat16": lotus_cost("ours", number_format="bfloat16"),
        "depth and normals, float32": lotus_cost("pair"),
    }
    for name, (seconds, memory) in costs.items():
        lines.append(f"  {name:28s} {seconds:6.1f} s   {memory:5.1f} GB   ratio {seconds / stock[0]:.2f}")
    return lines


if __name__ == "__main__":
    print("\n".join(lotus_lines()))

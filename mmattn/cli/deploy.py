"""Write a trained model into a file that runs elsewhere.

    mmattn deploy CONFIG CHECKPOINT --to onnx --dynamic --out model.onnx
    mmattn predict model.onnx photo.jpg --out results

export: a program of torch.export (.pt2), which needs PyTorch alone
fold: the same of the folded model, which has less to compute
compile: the folded model in machine code for processors such as this one (.pt2), in minutes
onnx: a file of ONNX, opset 18 (.onnx)
openvino: a file of OpenVINO (.xml), with its weights beside it (.bin)

The file says of itself what it takes and gives. FILE.json has what was measured: size, time beside
the model's, differences from it and, by --val, the metrics of both.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from mmattn.cli.arguments import add_config, add_config_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_config(parser)
    parser.add_argument('checkpoint', help='checkpoint file')
    # Which ones there are is known where PyTorch is imported, which takes its time.
    kinds = ['fold', 'compile', 'export', 'onnx', 'openvino']
    parser.add_argument('--to', required=True, choices=kinds, help='kind of the file')
    parser.add_argument(
        '--dtype',
        choices=['float32', 'bfloat16', 'float16'],
        help='in which the network computes, where the kind of the file can; default: float32',
    )
    parser.add_argument(
        '--dynamic', action='store_true', help='take images of any height and width, not of one'
    )
    parser.add_argument(
        '--shape',
        nargs=2,
        type=_side,
        metavar=('H', 'W'),
        help='size of an image behind the test pipeline; default: that of a picture of 512x512',
    )
    parser.add_argument(
        '--out', type=Path, metavar='FILE', help='default: beside the checkpoint, by its name'
    )
    parser.add_argument(
        '--rounds', type=_side, default=5, metavar='N', help='measurements of the time; default: 5'
    )
    parser.add_argument(
        '--val',
        type=_side,
        metavar='N',
        help='metrics of the model and of the file, by val_evaluator of the config, on N images of '
        'its val_dataloader',
    )
    parser.add_argument(
        '--data-root',
        metavar='DIR',
        help="folder of the data for --val, in the place of the config's data_root",
    )
    add_config_arguments(parser)
    parser.set_defaults(device='cpu', local_rank=0, interrupted='interrupted; nothing is written')


def main(args: argparse.Namespace) -> None:
    """Deploy as the command line says, and print the report."""
    from mmattn import __version__
    from mmattn.cli import options
    from mmattn.deploy.deployment import TARGETS, check, deploy, report_of
    from mmattn.deploy.validation import Validation, check_validation_part
    from mmattn.engine import terminal
    from mmattn.engine.config import load_config
    from mmattn.errors import InputError
    from mmattn.prediction.model import load

    terminal.use(verbose=False)
    options.check_checkpoint(args.checkpoint)
    path = args.out or Path(args.checkpoint).with_suffix(TARGETS[args.to].ending)
    dtype = check(args.to, args.dtype, path)
    config = load_config(args.config, args.cfg_options)
    if args.val:
        check_validation_part(config)
        options.use_data_root(config, args.data_root, 'val')
        for remark in options.check_data_of(config, 'val'):
            print(f'warning: {remark}', file=sys.stderr)
    elif args.data_root:
        raise InputError('--data-root is where --val N finds images; give both or none')
    model = load(config, args.checkpoint, device='cpu', trust_checkpoint=args.trust_checkpoint)
    report = deploy(
        model,
        args.to,
        path,
        dtype=dtype,
        version=__version__,
        dynamic=args.dynamic,
        size=tuple(args.shape) if args.shape else None,
        rounds=args.rounds,
        validation=Validation(config, args.val) if args.val else None,
    )
    print('\n'.join(_lines(report)))
    print(f'{path} and {report_of(path)} written')


def _lines(report: dict[str, Any]) -> list[str]:
    metadata = report['metadata']
    shape = 'x'.join(str(side or 'any') for side in metadata['input']['shape'])
    lines = [
        f'task        {metadata["task"]}, {len(metadata["classes"])} classes',
        f'input       {metadata["input"]["name"]}, {shape} {metadata["input"]["dtype"]}',
        f'outputs     {", ".join(metadata["outputs"])}',
        f'size        {report["bytes"] / 1e6:.1f} MB',
    ]
    original, exported = report['seconds']['original'], report['seconds']['exported']
    ratios = f'{exported["wall_ratio"]:.2f}, in processor time {exported["cpu_ratio"]:.2f}'
    lines.append(
        f'time        {1e3 * exported["wall"]:.1f} ms, of the model '
        f'{1e3 * original["wall"]:.1f} ms (ratio {ratios})'
    )
    lines.append(f'difference  {_describe(metadata["task"], report["differences"])}')
    if metrics := report.get('metrics'):
        lines.append(f'metrics     on {metrics["images"]} images')
        for name, value in metrics['exported'].items():
            lines.append(f'  {name}: {value}, of the model {metrics["original"][name]}')
    return lines


def _describe(task: str, found: dict[str, float]) -> str:
    """Say how far the file is from the model."""
    if task == 'segmentation':
        return f'{100 * found["other_pixels"]:.3f} % of the pixels have another class'
    if task == 'classification':
        return f'at most {found["score"]:.1e} in a score'
    masks = ''
    if task == 'instance':
        masks = f', {100 * found["other_pixels"]:.3f} % of the pixels in a mask'
    return (
        f'at most {found["score"]:.1e} in a score and {found["pixels"]:.1e} pixels in a box'
        f'{masks}; {found["unmatched"]:.0f} detections without a partner'
    )


def _side(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f'expected 1 or more, got {text}')
    return number

"""Optical flow: the methods, pictures of it, and flow on disk. torch is imported by `raft-*` alone."""

from marey.video.flow.extract import FlowReport, extract_flow
from marey.video.flow.index import read_index
from marey.video.flow.methods import BOUND, METHODS, Flow, FlowMethod, compute_flow, flow_method
from marey.video.flow.picture import draw_arrows, flow_to_color, write_flow_picture
from marey.video.flow.show import show_flow
from marey.video.flow.store import FlowWriter, StoredFlow, dequantise, error_bound, quantise

__all__ = [
    "BOUND",
    "METHODS",
    "Flow",
    "FlowMethod",
    "FlowReport",
    "FlowWriter",
    "StoredFlow",
    "compute_flow",
    "dequantise",
    "draw_arrows",
    "error_bound",
    "extract_flow",
    "flow_method",
    "flow_to_color",
    "quantise",
    "read_index",
    "show_flow",
    "write_flow_picture",
]

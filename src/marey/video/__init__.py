"""Video files to frames and motion: exact decoding, samplers, optical flow, generated videos."""

from marey.video.reader import VideoInfo, VideoReader, open_video

__all__ = ["VideoInfo", "VideoReader", "open_video"]

"""Videos decoded once and kept small: memory-mapped frames, short-GOP MP4s, or tars of these.

    PACK/
        pack.json       what decided the frames: size, rate, form
        manifest.csv    the samples, their paths inside the pack
        shards/HASH.frames/7-fight_012       (a path: video 7 of a shard; `open_video` takes it)
        shards/HASH.tar/fight_012-KEY.mp4    (a path: a member of a tar)
        videos/fight_012-KEY-CRC.mp4         (a file)

`open_video` reads all of them, so whatever takes a video takes a packed one.
"""

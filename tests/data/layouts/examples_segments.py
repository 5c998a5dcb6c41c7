"""Data sets of long videos with stretches: in the form of the originals, cut down to a few rows."""

# ruff: noqa: E501  (a row of a data set is one line)

from __future__ import annotations

import json

from tests.data.layouts.samples import Example

_ANET = {
    "version": "VERSION 1.3",
    "taxonomy": [{"parentName": "Root", "nodeName": "Sports", "nodeId": 1, "parentId": 0}],
    "database": {
        "sJvvvGj8ZLg": {"duration": 2.0, "subset": "training", "resolution": "320x240", "url": "x",
                        "annotations": [{"segment": [0.25, 1.5], "label": "Rock climbing"},
                                        {"segment": ["1.0", "2.0"], "label": "été, \"x\""}]},
        "video_test_0000004": {"duration": "1.0", "subset": "Test", "fps": 10.0,
                               "annotations": [{"label": "Rock climbing", "segment": ["0.2", "1.03"], "segment(frames)": [2, 10], "label_id": 0}]},
        "unseen": {"duration": 9.0, "subset": "testing", "annotations": []},
    },
}  # fmt: skip


def frame_list(*videos: tuple[str, list[str]]) -> str:
    lines = ["original_vido_id video_id frame_id path labels"]
    for ident, labels in videos:
        lines += [f'{ident} {ident} {i} {ident}/{ident}-{i + 1:06d}.jpg "{x}"' for i, x in enumerate(labels)]
    return "\n".join(lines) + "\n"


_EPIC = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,stop_frame,"
    "narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes\n"
)
EXAMPLES = {
    "mmaction2-frames": Example(
        files={"classes.txt": "run\njump\n", "train_rawframes.txt": "some/directory-1 20 1\nsome/directory-2 10 0\n"},
        videos={"videos/some/directory-1.mp4": 20, "videos/some/directory-2.mp4": 10},
        rows=[
            ("videos/some/directory-1.mp4", "jump", None, None, "train", None),
            ("videos/some/directory-2.mp4", "run", None, None, "train", None),
        ],
        classes=("run", "jump"),
        read_as="read as MMAction2 raw frames: 2 train",
    ),
    "mmaction2-offset": Example(
        files={"classes.txt": "run\njump\n", "train_rawframes.txt": "some/directory-1 2 5 1\nsome/directory-1 8 12 0\nsome/directory-2 0 10 0 1\n"},
        videos={"videos/some/directory-1.mp4": 20, "videos/some/directory-2.mp4": 10},
        rows=[
            ("videos/some/directory-1.mp4", "jump", 0.2, 0.7, "train", None),
            ("videos/some/directory-1.mp4", "run", 0.8, 2.0, "train", None),
            ("videos/some/directory-2.mp4", "jump|run", 0.0, 1.0, "train", None),
        ],
        classes=("run", "jump"),
        read_as="read as MMAction2 raw frames with offsets: 3 train",
    ),
    "activitynet": Example(
        files={"activity_net.v1-3.json": json.dumps(_ANET, indent=1)},
        videos={"videos/v_sJvvvGj8ZLg.mp4": 20, "videos/video_test_0000004.mp4": 10},
        rows=[
            ("videos/v_sJvvvGj8ZLg.mp4", "Rock climbing", 0.25, 1.5, "train", "sJvvvGj8ZLg"),
            ("videos/v_sJvvvGj8ZLg.mp4", "été, \"x\"", 1.0, 2.0, "train", "sJvvvGj8ZLg"),
            ("videos/video_test_0000004.mp4", "Rock climbing", 0.2, 1.03, "test", "video_test_0000004"),
        ],
        classes=("Rock climbing", "été, \"x\""),
        read_as="read as ActivityNet (1 videos without a segment are left out): 2 train, 1 test",
        out="back.json",
    ),
    "charades": Example(
        files={
            "Charades_v1_classes.txt": "c000 Holding some clothes\nc001 Putting clothes somewhere\n",
            "Charades_v1_train.csv": (
                "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length\n"
                '46GP8,HR43,Kitchen,6,7,Yes,"A person, ""cooking""",food/stove,"One; two.",c000 0.10 1.20;c001 0.00 2.00,2.03\n'
                "N11GT,0KZ7,Stairs,6,7,No,x,y,z,,18.25\n"
            ),
            "Charades_v1_test.csv": (
                "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length\n"
                "YSKX3,AB12,Bedroom,5,7,Yes,x,y,z,c001 0.50 1.00,1.00\n"
            ),
        },
        videos={"Charades_v1_480/46GP8.mp4": 20, "Charades_v1_480/YSKX3.mp4": 10},
        rows=[
            ("Charades_v1_480/46GP8.mp4", "Holding some clothes", 0.1, 1.2, "train", "HR43"),
            ("Charades_v1_480/46GP8.mp4", "Putting clothes somewhere", 0.0, 2.0, "train", "HR43"),
            ("Charades_v1_480/YSKX3.mp4", "Putting clothes somewhere", 0.5, 1.0, "test", "AB12"),
        ],
        classes=("Holding some clothes", "Putting clothes somewhere"),
        read_as="read as Charades (1 videos without an action are left out): 2 train, 1 test",
    ),
    "framelist": Example(
        files={
            "Charades_v1_classes.txt": "c000 Holding\nc001 Putting\n",
            "train.csv": frame_list(("46GP8", ["", "0", "0,1", "1", *[""] * 15, "0"])),
            "val.csv": frame_list(("YSKX3", ["1"] * 10)),
        },
        videos={"v/46GP8.mp4": 20, "v/YSKX3.mp4": 10},
        rows=[
            ("v/46GP8.mp4", "Holding", 0.1, 0.3, "train", None),
            ("v/46GP8.mp4", "Holding", 1.9, 2.0, "train", None),
            ("v/46GP8.mp4", "Putting", 0.2, 0.4, "train", None),
            ("v/YSKX3.mp4", "Putting", 0.0, 1.0, "val", None),
        ],
        classes=("Holding", "Putting"),
        read_as="read as PySlowFast frame list: 3 train, 1 val",
    ),
    "epic": Example(
        files={
            "EPIC_100_train.csv": _EPIC
            + "P01_01_0,P01,P01_01,00:00:01.089,00:00:00.14,00:00:01.37,8,82,open door,open,3,door,3,\"['door']\",[3]\n"
            + "P01_01_1,P01,P01_01,00:00:02.629,00:00:01.00,00:00:02.00,60,120,\"turn on, light\",turn-on,0,light,114,\"['light', 'x']\",\"[114, 2]\"\n",
            "EPIC_100_validation.csv": _EPIC
            + "P02_12_0,P02,P02_12,00:00:01.089,00:00:00.5,00:00:01.00,30,60,pull door,pull,3,door,3,['door'],[3]\n",
            "EPIC_100_test_timestamps.csv": "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,stop_frame\n"
            "P09_08_0,P09,P09_08,00:00:00.1,00:00:00.1,00:00:00.2,6,12\n",
            "EPIC_100_verb_classes.csv": "id,key,instances,category\n0,turn-on,\"['turn-on', 'switch-on']\",access\n3,open,\"['open', 'pull']\",access\n",
        },
        videos={"P01/videos/P01_01.MP4": 20, "P02/videos/P02_12.MP4": 10},
        rows=[
            ("P01/videos/P01_01.MP4", "open", 0.14, 1.37, "train", "P01_01"),
            ("P01/videos/P01_01.MP4", "turn-on", 1.0, 2.0, "train", "P01_01"),
            ("P02/videos/P02_12.MP4", "open", 0.5, 1.0, "val", "P02_12"),
        ],
        classes=("turn-on", "open"),
        read_as="read as EPIC-Kitchens, class verb (1 rows without a class are left out): 2 train, 1 val",
        how={"label": "verb"},
        back={"label": "verb"},
    ),
    "bundles": Example(
        files={
            "mapping.txt": "0 SIL\n1 take_cup\n2 pour_coffee\n",
            "groundTruth/P16_cam01_P16_coffee.txt": "SIL\n" * 3 + "take_cup\n" * 7 + "SIL\n" * 10,
            "groundTruth/P03_cam01_P03_coffee.txt": "pour_coffee\r\n" * 10,
            "groundTruth/P04_cam01_P04_coffee.txt": "SIL\n" * 10,
            "splits/train.split1.bundle": "P16_cam01_P16_coffee.txt\n",
            "splits/test.split1.bundle": "P03_cam01_P03_coffee.txt\n",
        },
        videos={"BreakfastII/P16/cam01/P16_coffee.mp4": 20, "BreakfastII/P03/cam01/P03_coffee.mp4": 10},
        root="BreakfastII",
        rows=[
            ("P03/cam01/P03_coffee.mp4", "pour_coffee", 0.0, 1.0, "test", "P03"),
            ("P16/cam01/P16_coffee.mp4", "SIL", 0.0, 0.3, "train", "P16"),
            ("P16/cam01/P16_coffee.mp4", "SIL", 1.0, 2.0, "train", "P16"),
            ("P16/cam01/P16_coffee.mp4", "take_cup", 0.3, 1.0, "train", "P16"),
        ],
        classes=("SIL", "take_cup", "pour_coffee"),
        read_as="read as frame-wise labels, split 1 (1 videos are in neither part of it): 3 train, 1 test",
        how={"root": "BreakfastII"},
    ),
    "ava": Example(
        files={
            "ava_action_list_v2.2.pbtxt": 'label {\n  name: "bend/bow (at the waist)"\n  label_id: 1\n  label_type: PERSON_MOVEMENT\n}\nlabel {\n  name: "stand"\n  label_id: 12\n  label_type: PERSON_MOVEMENT\n}\n',
            "ava_train_v2.2.csv": "-5KQ66BBWC4,0001,0.077,0.151,0.283,0.811,12,1\n-5KQ66BBWC4,0001,0.226,0.032,0.366,0.497,1,2\n"
            "-5KQ66BBWC4,0001,0.4,0.1,0.5,0.9,12,3\n-5KQ66BBWC4,0002,0.226,0.032,0.366,0.497,1,2\n",
            "ava_train_excluded_timestamps_v2.2.csv": "-5KQ66BBWC4,0002\n",
        },
        videos={"videos/-5KQ66BBWC4.mkv": 20},
        rows=[("videos/-5KQ66BBWC4.mkv", "bend/bow (at the waist)|stand", 0.5, 1.5, "train", "-5KQ66BBWC4")],
        classes=("bend/bow (at the waist)", "stand"),
        read_as="read as AVA, actions by second (1 rows excluded or without an action): 1 train",
    ),
}  # fmt: skip

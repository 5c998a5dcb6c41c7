"""Data sets given out as lists of videos: in the form of the originals, cut down to a few rows."""

# ruff: noqa: E501  (a row of a data set is one line)

from __future__ import annotations

import json

from tests.data.layouts.samples import Example

_SSV2_TRAIN = [
    {"id": "78687", "label": "holding potato next to vicks vaporub bottle",
     "template": "Holding [something] next to [something]", "placeholders": ["potato", "vicks vaporub bottle"]},
    {"id": "42326", "label": "pretending to pour wine, \"red\", out of bottle, but bottle is empty",
     "template": "Pretending to pour [something] out of [something], but [something] is empty",
     "placeholders": ["wine, \"red\"", "bottle", "bottle"]},
]  # fmt: skip
_SSV2_VAL = [{"id": "74225", "label": "holding a été next to a|b", "template": "Holding [something] next to [something]",
              "placeholders": ["été", "a|b"]}]  # fmt: skip
_SSV2_LABELS = {
    "Holding something next to something": "0",
    "Pretending to pour something out of something, but something is empty": "1",
}

EXAMPLES = {
    "ucf101": Example(
        files={
            "ucfTrainTestlist/classInd.txt": "1 ApplyEyeMakeup\r\n2 HandstandPushups\r\n",
            "ucfTrainTestlist/trainlist01.txt": (
                "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1\r\n"
                "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c02.avi 1\r\n"
                "HandstandPushups/v_HandStandPushups_g08_c01.avi 2\r\n"
            ),
            "ucfTrainTestlist/testlist01.txt": "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi\r\n",
        },
        videos=dict.fromkeys(
            ["UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi",
             "UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c02.avi",
             "UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi",
             "UCF-101/HandstandPushups/v_HandStandPushups_g08_c01.avi"], 0,
        ),
        root="UCF-101",
        rows=[
            ("ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi", "ApplyEyeMakeup", None, None, "test", "v_ApplyEyeMakeup_g01"),
            ("ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi", "ApplyEyeMakeup", None, None, "train", "v_ApplyEyeMakeup_g08"),
            ("ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c02.avi", "ApplyEyeMakeup", None, None, "train", "v_ApplyEyeMakeup_g08"),
            ("HandstandPushups/v_HandStandPushups_g08_c01.avi", "HandstandPushups", None, None, "train",
             "v_HandStandPushups_g08"),
        ],
        classes=("ApplyEyeMakeup", "HandstandPushups"),
        read_as="read as UCF101, split 1: 3 train, 1 test",
    ),
    "hmdb51": Example(
        files={
            "splits/brush_hair_test_split1.txt": "April_09_brush_hair_u_nm_np1_ba_goo_0.avi 1 \nA_brush_hair_u_nm_np1_ba_goo_1.avi 0 \n",
            "splits/brush_hair_test_split2.txt": "April_09_brush_hair_u_nm_np1_ba_goo_0.avi 2 \nA_brush_hair_u_nm_np1_ba_goo_1.avi 1 \n",
            "splits/wave_test_split1.txt": "50_FIRST_DATES_wave_f_cm_np1_fr_med_0.avi 2 \n(Rad)Schlag!_wave_f_cm_np1_le_med_0.avi 1 \n",
            "splits/wave_test_split2.txt": "50_FIRST_DATES_wave_f_cm_np1_fr_med_0.avi 1 \n(Rad)Schlag!_wave_f_cm_np1_le_med_0.avi 1 \n",
        },
        videos=dict.fromkeys(
            ["hmdb51/brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi",
             "hmdb51/brush_hair/A_brush_hair_u_nm_np1_ba_goo_1.avi",
             "hmdb51/wave/50_FIRST_DATES_wave_f_cm_np1_fr_med_0.avi",
             "hmdb51/wave/(Rad)Schlag!_wave_f_cm_np1_le_med_0.avi"], 0,
        ),
        root="hmdb51",
        rows=[
            ("brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi", "brush_hair", None, None, "train", "brush_hair/April_09"),
            ("wave/(Rad)Schlag!_wave_f_cm_np1_le_med_0.avi", "wave", None, None, "train", "wave/(Rad)Schlag!"),
            ("wave/50_FIRST_DATES_wave_f_cm_np1_fr_med_0.avi", "wave", None, None, "test", "wave/50_FIRST_DATES"),
        ],
        classes=("brush_hair", "wave"),
        read_as="read as HMDB51, split 1 (1 videos are in neither part of it): 2 train, 1 test",
    ),
    "kinetics": Example(
        files={
            "train.csv": '\ufefflabel,youtube_id,time_start,time_end,split\n"making, say, tea",-3B32lodo2M,59,69,train\n'
            "abseiling,_4YTwq0-73Y,4,14,train\n",
            "validate.csv": "label,youtube_id,time_start,time_end,split,is_cc\nabseiling,0347ZoDXyP0,95,105,validate,0\n",
            "test.csv": "youtube_id,time_start,time_end,split\nxxxxxxxxxxx,0,10,test\n",
        },
        videos=dict.fromkeys(
            ["train/making, say, tea/-3B32lodo2M_000059_000069.mp4", "train/abseiling/_4YTwq0-73Y_000004_000014.mkv",
             "val/abseiling/0347ZoDXyP0_000095_000105.mp4"], 0,
        ),
        rows=[
            ("train/abseiling/_4YTwq0-73Y_000004_000014.mkv", "abseiling", None, None, "train", "_4YTwq0-73Y"),
            ("train/making, say, tea/-3B32lodo2M_000059_000069.mp4", "making, say, tea", None, None, "train", "-3B32lodo2M"),
            ("val/abseiling/0347ZoDXyP0_000095_000105.mp4", "abseiling", None, None, "val", "0347ZoDXyP0"),
        ],
        classes=("abseiling", "making, say, tea"),
        read_as="read as Kinetics (1 rows of lists without labels are left out): 2 train, 1 val",
        out="back.csv",
    ),
    "something": Example(
        files={
            "something-something-v2-labels.json": json.dumps(_SSV2_LABELS, indent=1),
            "something-something-v2-train.json": json.dumps(_SSV2_TRAIN, indent=1),
            "something-something-v2-validation.json": json.dumps(_SSV2_VAL),
            "something-something-v2-test.json": json.dumps([{"id": "1420"}, {"id": "1421"}]),
            "something-something-v2-test-answers.csv": "1420;Holding something next to something\n",
        },
        videos=dict.fromkeys([f"20bn-something-something-v2/{i}.webm" for i in (78687, 42326, 74225, 1420, 1421)], 0),
        rows=[
            ("20bn-something-something-v2/1420.webm", "Holding something next to something", None, None, "test", None),
            ("20bn-something-something-v2/42326.webm", list(_SSV2_LABELS)[1], None, None, "train", None),
            ("20bn-something-something-v2/74225.webm", "Holding something next to something", None, None, "val", None),
            ("20bn-something-something-v2/78687.webm", "Holding something next to something", None, None, "train", None),
        ],
        classes=tuple(_SSV2_LABELS),
        read_as="read as Something-Something v2 (1 videos without a label are left out): 2 train, 1 val, 1 test",
    ),
    "jester": Example(
        files={
            "jester-v1-labels.csv": "Swiping Left\nNo gesture\n",
            "jester-v1-train.csv": "34870;Swiping Left\n56557;No gesture\n",
            "jester-v1-validation.csv": "9223;No gesture\n",
            "jester-v1-test.csv": "1420\n",
        },
        videos=dict.fromkeys([f"videos/{i}.mp4" for i in (34870, 56557, 9223, 1420)], 0),
        rows=[
            ("videos/34870.mp4", "Swiping Left", None, None, "train", None),
            ("videos/56557.mp4", "No gesture", None, None, "train", None),
            ("videos/9223.mp4", "No gesture", None, None, "val", None),
        ],
        classes=("Swiping Left", "No gesture"),
        read_as="read as Jester (1 videos without a label are left out): 2 train, 1 val",
    ),
    "mmaction2": Example(
        files={
            "label_map_k3.txt": "abseiling\nair drumming\nzumba\n",
            "k3_train_list_videos.txt": "some/path/000.mp4 0\nsome/path/001.mp4 2 1\n",
            "k3_val_list_videos.txt": "some/path/002.mp4 2\n",
        },
        videos=dict.fromkeys([f"data/some/path/00{i}.mp4" for i in range(3)], 0),
        root="data",
        rows=[
            ("some/path/000.mp4", "abseiling", None, None, "train", None),
            ("some/path/001.mp4", "air drumming|zumba", None, None, "train", None),
            ("some/path/002.mp4", "zumba", None, None, "val", None),
        ],
        classes=("abseiling", "air drumming", "zumba"),
        read_as="read as MMAction2: 2 train, 1 val",
    ),
    "pyslowfast": Example(
        files={
            "train.csv": "videos/000.mp4 0\nvideos/001.mp4 1\n",
            "val.csv": "videos/002.mp4 1\n",
            "classids.json": '{"zumba": 1, "abseiling": 0}',
        },
        videos=dict.fromkeys([f"videos/00{i}.mp4" for i in range(3)], 0),
        rows=[
            ("videos/000.mp4", "abseiling", None, None, "train", None),
            ("videos/001.mp4", "zumba", None, None, "train", None),
            ("videos/002.mp4", "zumba", None, None, "val", None),
        ],
        classes=("abseiling", "zumba"),
        read_as="read as PySlowFast: 2 train, 1 val",
    ),
    "fiftyone": Example(
        files={
            "labels.json": json.dumps(
                {
                    "classes": ["run", "jump"],
                    "labels": {
                        "a": [{"label": 1, "support": [1, 5], "confidence": None, "attributes": {}},
                              {"label": 0, "timestamps": [0.25, 1]}],
                        "b": [{"label": 0, "support": [3, 10]}],
                        "c": None,
                    },
                },
                indent=1,
            ),
        },
        videos={"data/a.mp4": 20, "data/b.mp4": 10, "data/c.mp4": 0},
        rows=[
            ("data/a.mp4", "jump", 0.0, 0.5, None, None),
            ("data/a.mp4", "run", 0.25, 1.0, None, None),
            ("data/b.mp4", "run", 0.2, 1.0, None, None),
        ],
        classes=("run", "jump"),
        read_as="read as FiftyOne temporal detections (1 videos without a label are left out): 3 samples",
    ),
}  # fmt: skip

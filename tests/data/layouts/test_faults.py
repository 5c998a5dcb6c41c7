"""What is wrong in an annotation is found and named with its file and line; nothing is guessed."""

# ruff: noqa: E501  (a row of a data set is one line)

from __future__ import annotations

import json
from pathlib import Path

import pytest

from marey.data.exchange import export_layout, import_layout
from marey.data.layouts.known import detect
from marey.data.layouts.layout import How, Source
from marey.data.manifest import Manifest
from marey.data.origin import DataWarning
from marey.errors import ConfigError, ManifestError, MareyError, SegmentError, UnknownNameError
from tests.data.layouts.samples import Example, lay_out, quietly

UCF = {"classInd.txt": "1 Archery\n2 Diving\n", "testlist01.txt": "Diving/v_Diving_g01_c01.avi\n"}
LABELS = {"labels.json": '{"Holding something": "0"}'}


def make(folder: Path, files, *videos):
    made = Example(files, dict.fromkeys(videos, 0), [], (), "")
    return lay_out(folder, made)


@pytest.mark.parametrize(
    ("name", "files", "message"),
    [
        ("ucf101", {**UCF, "trainlist01.txt": "Archery/v_Archery_g01_c01.avi 3\n"},
         r"trainlist01.txt line 1: class 3, where classInd.txt has 1 to 2"),
        ("ucf101", {**UCF, "trainlist01.txt": "\nArchery/v_Archery_g01_c01.avi 2\n"},
         r"trainlist01.txt line 2: class 2 is 'Diving', but the video lies in 'Archery'"),
        ("ucf101", {**UCF, "classInd.txt": "0 Archery\n1 Diving\n", "trainlist01.txt": "x/a.avi 1\n"},
         r"classInd.txt line 1: class 0 where class 1 was expected: they count from 1"),
        ("ucf101", {**UCF, "trainlist01.txt": "Archery/v_Archery_g01_c01.avi 1\nJumping/v_Jumping_g01_c01.avi\n"},
         r"trainlist01.txt line 2: 'Jumping' is not a known class"),
        ("ucf101", {**UCF, "trainlist01.txt": "Archery\\v_Archery_g01_c01.avi 1\n"},
         r"trainlist01.txt line 1: .* is a path as Windows writes it"),
        ("ucf101", {**UCF, "trainlist01.txt": "../x/Archery/v_Archery_g01_c01.avi 1\n"},
         r"trainlist01.txt line 1: '\.\./x/Archery/v_Archery_g01_c01\.avi' leads out of the folder"),
        ("ucf101", UCF | {"trainlist02.txt": "Archery/v_Archery_g01_c01.avi 1\n"}, r"trainlist01.txt is not there"),
        ("ucf101", {**UCF, "trainlist01.txt": b"Archery/v_Archery_g01_c01.avi 1\ncaf\xe9/x.avi 1\n"},
         r"trainlist01.txt line 2: byte 0xe9 is not UTF-8"),
        ("hmdb51", {"wave_test_split1.txt": "x_wave_f_cm_np1_fr_med_0.avi 3\n"},
         r"wave_test_split1.txt line 1: .* is not a video and 0, 1 or 2"),
        ("hmdb51", {"wave_test_split1.txt": "x.avi 1\n", "run_test_split2.txt": "y.avi 1\n"},
         r"run_test_split1.txt is not there"),
        ("kinetics", {"train.csv": "label,youtube_id,time_start,time_end,split\nx,abc,10,5,train\ny,abc,one,5,train\n"},
         r"train.csv line 2: the segment from 10 s to 5 s is reversed\.\n  train.csv line 3: time_start is 'one'"),
        ("kinetics", {"train.csv": "label,youtube_id,time_start,time_end,split\na,b,abc,1,5,train\n"},
         r"train.csv line 2: 6 cells where the header has 5.*\n  a cell that holds ',' must stand in double quotes"),
        ("something", {**LABELS, "train.json": '[{"id": "1",\n"template": "Holding [something]"},\n{"id": "2",\n'
                       '"template": "Holdin [something]"}]'},
         r"train.json line 3: video 2: 'Holdin something' is not a class of labels.json. Did you mean 'Holding something'"),
        ("something", {"labels.json": '{"a": "0", "b": "2"}', "train.json": '[{"id": "1", "template": "a"}]'},
         r"labels.json: 2 classes with 2 numbers from 0 to 2: they must run without gaps"),
        ("something", {**LABELS, "train.json": '[{"id": "1", "template": "a"},\n{"id": "1"'},
         r"train.json line 2: not readable as JSON"),
        ("jester", {"labels.csv": "Swiping Left\n", "train.csv": "1;Swiping Left\n2;Swiping Lef\n"},
         r"train.csv line 2: 'Swiping Lef' is not a class of labels.csv. Did you mean 'Swiping Left'"),
        ("mmaction2", {"train.txt": "a.mp4 1\nb.mp4 2\n", "classes.txt": "x\ny\n"},
         r"train.txt line 2: class 2, where classes.txt has 2 classes \(0 to 1\).*\n  counted from 1, every number has"),
        ("mmaction2", {"train.txt": "a.mp4 1\nb.mp4 1\n", "classes.txt": "x\ny\n"},
         r"train.txt line 1: no row has class 0, so the numbers may run from 0 or from 1"),
        ("mmaction2", {"train.txt": "a.mp4 0 0\n", "classes.txt": "x\ny\n"}, r"line 1: 'a.mp4 0 0' names a class twice"),
        ("mmaction2", {"train.txt": "/data/a.mp4 0\n"}, r"train.txt line 1: '/data/a.mp4' leads out of the folder"),
        ("mmaction2", {"train.txt": "C:/data/a.mp4 0\n"}, r"line 1: 'C:/data/a.mp4' is a path as Windows writes it"),
        ("mmaction2", {"train.txt": "a.mp4 0\n", "classes.txt": "x\nx\n"},
         r"classes.txt line 2: the class 'x' stands in line 1 already"),
        ("mmaction2", {"train.txt": "a.mp4 0\n", "classes.txt": "x\ny\n", "label_map.txt": "x\n"},
         r"the classes could be those of .*\n  say which: --classes"),
        ("pyslowfast", {"train.csv": "v/a.mp4 0\nv/b.mp4 7\n", "classes.json": '["x", "y"]'},
         r"train.csv line 2: class 7, where classes.json has 2 classes"),
        ("fiftyone", {"labels.json": '{"classes": ["x"],\n"labels": {\n"a": [{"label": 1, "timestamps": [0, 1]}],\n'
                      '"b": [{"label": 0, "timestamps": [2, 1]}]}}'},
         r"labels.json line 3: detection 1 of 'a' has the class 1, where there are 1 .*\n"
         r"  labels.json line 4: the segment from 2 s to 1 s is reversed"),
        ("fiftyone", {"labels.json": '{"labels": {"a": [{"label": "x", "support": [1, 5]}],\n"a": []}}'},
         r"labels.json line 2: 'a' stands in line 1 already"),
        ("mmaction2-frames", {"train.txt": "a 5 0\nb five 0\n"}, r"does not look like MMAction2 raw frames"),
        ("mmaction2-frames", {"train.txt": "some/dir 5 0\n", "some/dir/img_00001.jpg": "x"},
         r"train.txt line 1: 'some/dir' is a folder of pictures, and marey reads videos.\n  make videos of them without"
         r" loss: marey data frames SRC OUT --fps N"),
        ("jester", {"train.csv": "7;x\n", "20bn-jester-v1/7/00001.jpg": "x"},
         r"train.csv line 1: '20bn-jester-v1/7' is a folder of pictures"),
        ("activitynet", {"a.json": '{"database": {\n"v": {"duration": 5, "subset": "training", "annotations": [{"segment": [1, 6],\n'
                         '"label": "x"}]},\n"w": {"subset": "trian", "annotations": []}}}'},
         r"a.json line 2: segment 1 of 'v' ends at 6 s, but the video lasts 5 s.\n  cut such .*--ends trim\n  a.json line 4: w: 'trian'"),
        ("activitynet", {"a.json": '{"database": {"v": {"annotations": [{"segment": ["3.0", "1.0"], "label": "x"},'
                         '{"segment": ["a", 1], "label": "x"}, {"segment": [1], "label": "x"}]}}}'},
         r"line 1: segment 1 of 'v', from 3 s to 1 s, is reversed.\n  .*segment 2 of 'v': its start is 'a', which is no number.\n"
         r"  .*segment 3 of 'v' is not a label and a segment"),
        ("charades", {"a.csv": "id,actions,length\nX,c000 1 2;c001 2 1;c003 0,5\n", "Charades_v1_classes.txt": "c000 x\n"},
         r"a.csv line 2: action 'c001 2 1' of X: 'c001' is not a class of Charades_v1_classes.txt.\n"
         r"  a.csv line 2: action 'c003 0' of X is not a class, a start and an end"),
        ("charades", {"a.csv": "id,actions,length\nX,c000 1 9,5\n"}, r"a.csv line 2: .* ends after the video, which lasts 5 s"),
        ("charades", {"a.csv": "id,actions,length\nX,c000 1 2,5\n", "charades_classes.txt": "c00 x\n"},
         r"charades_classes.txt line 1: 'c00 x' is not a code and a class"),
        ("framelist", {"train.csv": 'original_vido_id video_id frame_id path labels\na a 0 a/1.jpg "0"\na a 2 a/3.jpg "x"\n'},
         r"train.csv line 3: 'a a 2 a/3.jpg .* is not id, id, frame, path and classes"),
        ("epic", {"EPIC_100_train.csv": "narration_id,video_id,start_timestamp,stop_timestamp,verb_class\nn,v,0:00:01,00:00:02,x\n"},
         r"EPIC_100_train.csv line 2: verb_class is 'x', which is no number of a class"),
        ("bundles", {"groundTruth/a.txt": "x\nz\n", "mapping.txt": "0 x\n1 y\n"},
         r"groundTruth/a.txt line 2: 'z' is not a class of mapping.txt"),
        ("bundles", {"groundTruth/a.txt": "x\n", "mapping.txt": "0 x\n2 y\n"}, r"mapping.txt: 2 classes with 2 numbers from 0 to 2"),
        ("bundles", {"groundTruth/a.txt": "x\n", "mapping.txt": "0 x\n", "train.split1.bundle": "b.txt\n", "test.split1.bundle": "a.txt\na.txt\n"},
         r"train.split1.bundle line 1: groundTruth/b.txt is not there.\n  test.split1.bundle line 2: 'a' is in test already"),
        ("ava", {"t.csv": "v,0902,0.1,0.1,0.2,0.2,3,1\n", "ava_action_list.pbtxt": 'label {\n name: "x"\n label_id: 1\n}\n'},
         r"t.csv line 1: action 3 is not one of the 1 listed"),
        ("labelstudio", {"l.json": '[{"id": 5, "data": {"video": "a.mp4"}, "annotations": [{"result": []}, {"result": [{"value":'
                         '{"timelinelabels": ["x"]}}]}]},\n{"id": 6, "data": {"text": "x"}, "annotations": []}]'},
         r"l.json line 1: task 5 has 2 annotations.\n  mark the one .*ground truth.*\n  l.json line 2: task 6 names no video"),
        ("cvat", {"a.xml": '<?xml version="1.0"?>\n<!DOCTYPE annotations [<!ENTITY a "aaaa">]>\n<annotations>&a;</annotations>'},
         r"a.xml line 2: a document type .* is refused"),
        ("cvat", {"a.xml": "<annotations>\n<meta><task></meta></annotations>"}, r"a.xml line 2: not readable as XML: mismatched tag"),
        ("cvat", {"a.xml": "<annotations>\n<meta><project/></meta></annotations>"}, r"a.xml line 1: this is the export of a project"),
        ("cvat", {"a.xml": "<annotations><meta><task><labels><label><name>run</name></label></labels><source>v.mp4</source></task></meta>\n"
                  '<track label="rum"/>\n<track label="run"><box frame="3" outside="0"/>\n<box frame="3" outside="1"/></track></annotations>'},
         r"a.xml line 2: 'rum' is not a label of the task. Did you mean 'run'\?\n  a.xml line 4: frame 3 follows on frame 3"),
        ("via", {"v.json": '{"project": {"pid": "x"}, "attribute": {"1": {"aname": "A", "anchor_id": "FILE1_Z2_XY0", "type": 1},'
                 '"2": {"aname": "B", "anchor_id": "FILE1_Z2_XY0", "type": 1}}, "file": {}, "view": {}, "metadata": {}}'},
         r"v.json: 2 attributes belong to temporal segments: A, B.\n  say which is the class: --label NAME"),
        ("via-csv", {"v.csv": '# ATTRIBUTE = {"1": {"aname": "A", "anchor_id": "FILE1_Z2_XY0", "type": 4, "options": {"0": "x"}}}\n# CSV_HEADER = '
                     "metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,metadata\n"
                     '"1","[""a.mp4""]",0,"[0,1]","[]","{""1"":""7""}"\n"1","[""a.mp4""]",0,"[2,1]","[]","{""1"":""0""}"\nx\n'},
         r"v.csv line 5: 'x' is no row of a VIA export.\n  v.csv line 3: '7' is not an option of 'A' \(0\).\n"
         r"  v.csv line 4: the segment from 2 s to 1 s is reversed"),
        ("elan", {"a.eaf": '<A><HEADER><MEDIA_DESCRIPTOR MEDIA_URL="a.mp4"/></HEADER><TIME_ORDER><TIME_SLOT TIME_SLOT_ID="t1" TIME_VALUE="5"/>'
                  '<TIME_SLOT TIME_SLOT_ID="t2"/></TIME_ORDER>\n<TIER TIER_ID="x"><ANNOTATION>\n<ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" '
                  'TIME_SLOT_REF1="t1" TIME_SLOT_REF2="t2"><ANNOTATION_VALUE>v</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER></A>'},
         r"a.eaf line 3: the annotation a1 has a time slot without a value"),
        ("elan", {"a.eaf": '<A><HEADER/>\n</A>'}, r"a.eaf line 1: no video belongs to it"),
        ("boris", {"b.csv": "Observation id,Source,Behavior,Behavior type,Start (s),Stop (s),Media duration (s)\n"
                   "o,player #1:a.mp4 player #2:b.mp4,x,STATE,0,1,2\no,player #1:a.mp4,x,STATE,1,3,2\no,a.mp4,,STATE,NA,3,5\n"},
         r"b.csv line 2: the observation 'o' has 2 media files: .*\n  b.csv line 3: the event ends at 3 s, but the media lasts 2 s.\n"
         r"  b.csv line 4: Start \(s\) is 'NA'"),
        ("fiftyone", {"labels.json": '{"labels": {"a": [{"label": "x", "timestamps": [NaN, 5]}]}}'},
         r"labels.json line 1: NaN is no number in JSON"),
    ],
)  # fmt: skip
def test_named_with_file_and_line(name, files, message, tmp_path):
    make(tmp_path, files)
    with pytest.raises(ManifestError, match=message):
        quietly(import_layout, tmp_path, name, how=How(label="verb" if name == "epic" else None))


def test_all_faults_are_told_at_once(tmp_path):
    lines = "".join(f"Archery/v_Archery_g01_c{i:02d}.avi 9\n" for i in range(20))
    make(tmp_path, {**UCF, "trainlist01.txt": lines})
    with pytest.raises(ManifestError) as error:
        Manifest.read(tmp_path)
    told = str(error.value).splitlines()
    assert len(told) == 10
    assert told[-1] == "  … 20 faults in all"


def test_missing_videos_are_named_or_left_out(tmp_path):
    make(
        tmp_path,
        {**UCF, "trainlist01.txt": "Archery/v_Archery_g01_c01.avi 1\n"},
        "v/Archery/v_Archery_g01_c01.avi",
    )
    with pytest.raises(
        ManifestError, match=r"testlist01.txt line 1: 'Diving/v_Diving_g01_c01.avi' is not there"
    ) as error:
        import_layout(tmp_path)
    assert f"looked for {tmp_path / 'v/Diving/v_Diving_g01_c01.avi'}" in str(error.value)
    with pytest.warns(
        UserWarning, match=r"1 of 2 samples are left out because .* testlist01.txt line 1: 'Diving/v_"
    ):
        made = import_layout(tmp_path, missing="skip")
    assert len(made) == 1
    assert made.class_names == ("Archery", "Diving")
    (tmp_path / "v/Archery/v_Archery_g01_c01.avi").unlink()
    with pytest.raises(ManifestError, match="none of the videos is there"):
        import_layout(tmp_path, missing="skip")


def test_two_folders_of_videos_are_not_chosen_between(tmp_path):
    files = {**UCF, "trainlist01.txt": "Archery/v_Archery_g01_c01.avi 1\n"}
    paths = [
        f"{folder}/{p}"
        for folder in "ab"
        for p in ("Archery/v_Archery_g01_c01.avi", "Diving/v_Diving_g01_c01.avi")
    ]
    make(tmp_path, files, *paths)
    with pytest.raises(ManifestError, match=r"the videos could be those in 'a' or in 'b'"):
        Manifest.read(tmp_path)
    assert Manifest.read(tmp_path, root=tmp_path / "b").root == tmp_path / "b"


def test_two_videos_of_one_id_are_not_chosen_between(tmp_path):
    make(tmp_path, {"labels.csv": "x\n", "train.csv": "7;x\n"}, "a/7.mp4", "b/7.webm")
    with pytest.raises(ManifestError, match=r"train.csv line 1: 2 videos are called '7': a/7.mp4, b/7.webm"):
        Manifest.read(tmp_path)


def test_two_layouts_are_not_chosen_between(tmp_path):
    make(
        tmp_path,
        {**UCF, "trainlist01.txt": "Archery/a.avi 1\n", "ucf101_train_videos.txt": "Archery/a.avi 0\n"},
    )
    with pytest.raises(ManifestError) as error:
        Manifest.read(tmp_path)
    assert "this can be read in 2 ways." in str(error.value)
    assert "ucf101: UCF101, by classInd.txt and trainlist01.txt" in str(error.value)
    assert "mmaction2: MMAction2, by the path-and-number lines of ucf101_train_videos.txt" in str(error.value)


def test_what_is_no_layout(tmp_path):
    make(
        tmp_path,
        {"run/notes.txt": "hello", "train.csv": "path,label\nrun/a.mp4,run\n"},
        "run/a.mp4",
        "fall/b.mp4",
    )
    assert detect(Source(tmp_path)) is None
    assert detect(Source(tmp_path / "train.csv")) is None
    assert quietly(Manifest.read, tmp_path).class_names == ("fall", "run")
    assert Manifest.read(tmp_path / "train.csv").read_as == ""
    with pytest.raises(ManifestError, match="no known layout fits"):
        import_layout(tmp_path)
    with pytest.raises(UnknownNameError, match="Did you mean 'ucf101'"):
        import_layout(tmp_path, "ucf11")
    with pytest.raises(ManifestError, match=r"does not look like UCF101: classInd\.txt"):
        import_layout(tmp_path, "ucf101")
    with pytest.raises(ManifestError, match="no such file or folder"):
        import_layout(tmp_path / "nowhere", "ucf101")


def test_options_without_effect_are_refused(tmp_path):
    make(tmp_path, {**UCF, "trainlist01.txt": "Archery/a.avi 1\n"})
    with pytest.raises(
        ConfigError,
        match=r"--fps means nothing to UCF101 \(ucf101\).\n  it takes: --root, --outside, --ends, --split",
    ):
        import_layout(tmp_path, how=How(fps=25))


def test_outside_is_allowed_by_a_word(tmp_path):
    make(tmp_path, {"lists/train.txt": "../videos/a.mp4 0\n"}, "videos/a.mp4")
    with pytest.raises(ManifestError, match="leads out of the folder"):
        import_layout(tmp_path / "lists")
    made = import_layout(tmp_path / "lists", how=How(outside=True))
    assert Path(made.sample(0).path).resolve() == tmp_path / "videos/a.mp4"


def test_classes_without_a_list_are_called_by_their_numbers(tmp_path):
    make(tmp_path, {"train.txt": "a.mp4 10\nb.mp4 9\n"}, "a.mp4", "b.mp4")
    made = import_layout(tmp_path)
    assert made.class_names == ("9", "10")
    assert "no list of classes: they are called by their numbers" in made.read_as
    (tmp_path / "names.txt").write_text("\n".join("abcdefghijk"))
    named = import_layout(tmp_path, how=How(classes=tmp_path / "names.txt", first_class=0))
    assert sorted(named.table["label"].to_pylist()) == ["j", "k"]


def test_segments_past_the_end_of_the_video(tmp_path):
    labels = {
        "labels": {"a": [{"label": "x", "timestamps": [0, 1]}, {"label": "y", "timestamps": [0.5, 1.4]}]}
    }
    lay_out(tmp_path, Example({"labels.json": json.dumps(labels, indent=1)}, {"data/a.mp4": 10}, [], (), ""))
    with pytest.raises(
        SegmentError, match=r"labels.json line 3: the segment 0.500–1.400 s lies outside the video"
    ):
        import_layout(tmp_path)
    assert len(import_layout(tmp_path, how=How(ends="trust"))) == 2
    labels["labels"]["a"][1] = {"label": "y", "support": [5, 11]}
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    with pytest.raises(ManifestError, match=r"line 1: frame 10 \(from 0\), but 'data/a.mp4' has 10 frames"):
        import_layout(tmp_path)
    (tmp_path / "data/a.mp4").unlink()
    with pytest.raises(ManifestError, match=r"(?s)frame numbers need the video's clock.*--fps N"):
        import_layout(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("ucf101", "path,label,split\na.mp4,x,train\n", r"m.csv line 2: cannot be written as UCF101: the class is the video's folder"),
        ("ucf101", "path,label\nx/a.mp4,x\n", r"m.csv line 2: cannot be written as UCF101: no split"),
        ("ucf101", "path,label,split\nx/a.mp4,x,val\n", r"the split 'val' has no place"),
        ("ucf101", "path,label,split\nx/a b.mp4,x,train\n", r"'x/a b.mp4' has a space"),
        ("ucf101", "path,label,split,group\nx/a.mp4,x,train,g1\n", r"the group is told by the name"),
        ("mmaction2", "path,label,start,end\na.mp4,x,0,1\n", r"the sample is a stretch of its video"),
        ("pyslowfast", "path,label\na.mp4,x|y\n", r"samples have several labels"),
        ("kinetics", "path,label\na.mp4,x\n", r"videos are called id_start_end"),
        ("fiftyone", "path,label\na.mp4,x\n", r"it holds stretches with a start and an end"),
        ("jester", "path,label,split\na.mp4,x,train\n", r"videos are called by a number"),
    ],
)  # fmt: skip
def test_what_a_format_cannot_say_is_refused(name, text, message, tmp_path):
    make(tmp_path, {"m.csv": text}, "a.mp4", "x/a.mp4", "x/a b.mp4")
    with pytest.raises(ManifestError, match=message):
        quietly(export_layout, Manifest.read(tmp_path / "m.csv"), name, tmp_path / "out")


def test_what_a_format_leaves_out_is_said_and_nothing_is_written_over(tmp_path):
    make(tmp_path, {"m.csv": "path,label,group,note\na.mp4,x,g,n\n"}, "a.mp4")
    manifest = Manifest.read(tmp_path / "m.csv")
    with pytest.warns(UserWarning, match="MMAction2 has no place for 'note', 'group': not written"):
        export_layout(manifest, "mmaction2", tmp_path / "out")
    assert (tmp_path / "out/list.txt").read_text() == "a.mp4 0\n"
    with pytest.raises(ConfigError, match="is there already"):
        quietly(export_layout, manifest, "mmaction2", tmp_path / "out")
    with pytest.raises(MareyError, match="lies outside"):
        quietly(export_layout, manifest, "mmaction2", tmp_path / "more", how=How(root=tmp_path / "out"))


def test_segments_are_cut_at_the_end_by_a_word(tmp_path):
    segments = [[0, 1], [0.5, 1.4], [1.2, 1.6]]
    database = {"a": {"duration": 9, "annotations": [{"label": "x", "segment": s} for s in segments]}}
    files = {"a.json": json.dumps({"database": database}, indent=1)}
    lay_out(tmp_path, Example(files, {"videos/a.mp4": 10}, [], (), ""))
    with pytest.raises(
        SegmentError, match=r"(?s)a.json line 3: the segment 0.500–1.400 s .*or cut them: --ends trim"
    ):
        quietly(import_layout, tmp_path)
    with pytest.warns(DataWarning) as said:
        made = import_layout(tmp_path, how=How(ends="trim"))
    assert [(made.sample(i).start, made.sample(i).end) for i in range(len(made))] == [(0.0, 1.0), (0.5, 1.0)]
    told = [str(w.message) for w in said]
    assert any(
        m.startswith("a.json line 3: the segment overlaps another of the same class ('x') in line 3. 2 of 3")
        for m in told
    )
    assert (
        "1 of 3 segments end after their video and were cut, by 0.400 s at most, 1 that lie outside it are left out."
        in told
    )
    assert len(quietly(import_layout, tmp_path, how=How(ends="trust"))) == 3


def test_frames_of_another_rate_are_not_guessed(tmp_path):
    files = {"groundTruth/a.txt": "x\n" * 20, "mapping.txt": "0 x\n"}
    lay_out(tmp_path, Example(files, {"a.mp4": 10}, [], (), ""))
    with pytest.raises(
        ManifestError, match=r"(?s)a.txt line 20: 20 frames are annotated, but 'a.mp4' has 10.*say --fps N"
    ):
        import_layout(tmp_path)
    made = import_layout(tmp_path, how=How(fps=20))
    assert (made.sample(0).start, made.sample(0).end) == (0.0, 1.0)


def test_a_group_that_the_official_split_breaks_is_left_out(tmp_path):
    header = "id,subject,actions,length\n"
    files = {
        "x_train.csv": header + "A,s1,c000 0 1,1\n",
        "x_test.csv": header + "B,s1,c000 0 1,1\nC,s2,c000 0 1,1\n",
    }
    lay_out(tmp_path, Example(files, {"A.mp4": 10, "B.mp4": 10, "C.mp4": 10}, [], (), ""))
    with pytest.warns(UserWarning, match=r"has 1 of 2 groups on both sides \(the first is 's1'\)"):
        made = import_layout(tmp_path)
    assert made.table["group"].null_count == 3


def test_epic_says_which_label(tmp_path):
    make(tmp_path, {"e.csv": "narration_id,video_id,start_timestamp,stop_timestamp,verb_class\n"})
    with pytest.raises(ConfigError, match=r"say which is the class.\n  --label verb, noun or action"):
        import_layout(tmp_path)

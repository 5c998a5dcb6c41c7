"""What annotation tools export, in their own form, cut down to a few entries."""

# ruff: noqa: E501  (a row of a data set is one line)

from __future__ import annotations

import json

from tests.data.layouts.samples import Example

_RESULT = {"from_name": "videoLabels", "to_name": "video", "type": "timelinelabels", "origin": "manual"}
_LABEL_STUDIO = [
    {
        "id": 1,
        "data": {"video": "/data/upload/1/0a1b2c3d-walk%20in.mp4", "note": "x"},
        "annotations": [
            {"id": 1, "was_cancelled": True, "result": []},
            {
                "id": 2,
                "was_cancelled": False,
                "result": [
                    {
                        **_RESULT,
                        "id": "a",
                        "value": {"ranges": [{"start": 1, "end": 5}], "timelinelabels": ["walk"]},
                    },
                    {
                        **_RESULT,
                        "id": "b",
                        "value": {"ranges": [{"start": 4, "end": 20}], "timelinelabels": ["été", "run"]},
                    },
                    {"type": "choices", "value": {"choices": ["good"]}},
                ],
            },
        ],
    },
    {
        "id": 2,
        "data": {"video": "/data/local-files/?d=deep/b.mp4"},
        "annotations": [
            {
                "result": [
                    {**_RESULT, "value": {"ranges": [{"start": 10, "end": 10}], "timelinelabels": ["walk"]}}
                ]
            }
        ],
    },
]
_CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <id>7</id>
      <size>10</size>
      <mode>interpolation</mode>
      <start_frame>0</start_frame>
      <stop_frame>19</stop_frame>
      <frame_filter>step=2</frame_filter>
      <labels>
        <label><name>fall &amp; rise</name></label>
        <label><name>run</name></label>
      </labels>
      <source>a.mp4</source>
    </task>
    <dumped>2024-01-01 00:00:00+00:00</dumped>
  </meta>
  <track id="0" label="fall &amp; rise" source="manual">
    <box frame="2" keyframe="1" outside="0" occluded="0" xtl="1" ytl="1" xbr="5" ybr="5" z_order="0"></box>
    <box frame="4" keyframe="0" outside="0" occluded="0" xtl="1" ytl="1" xbr="5" ybr="5" z_order="0"></box>
    <box frame="6" keyframe="1" outside="1" occluded="0" xtl="1" ytl="1" xbr="5" ybr="5" z_order="0"></box>
    <box frame="10" keyframe="1" outside="0" occluded="0" xtl="1" ytl="1" xbr="5" ybr="5" z_order="0"></box>
    <box frame="12" keyframe="1" outside="1" occluded="0" xtl="1" ytl="1" xbr="5" ybr="5" z_order="0"></box>
  </track>
  <track id="1" label="run" source="manual">
    <points frame="16" keyframe="1" outside="0" occluded="0" points="1,1"></points>
    <points frame="18" keyframe="0" outside="0" occluded="0" points="1,1"></points>
  </track>
  <tag label="run" frame="3"></tag>
</annotations>
"""
_ATTRIBUTE = {
    "1": {
        "aname": "TEMPORAL-SEGMENTS",
        "anchor_id": "FILE1_Z2_XY0",
        "type": 4,
        "desc": "",
        "options": {"0": "walk", "1": 'run, "fast"'},
        "default_option_id": "",
    },
    "2": {
        "aname": "Box",
        "anchor_id": "FILE1_Z1_XY1",
        "type": 1,
        "desc": "",
        "options": {},
        "default_option_id": "",
    },
}
_VIA = {
    "project": {
        "pid": "__VIA_PROJECT_ID__",
        "rev": "1",
        "rev_timestamp": "1",
        "pname": "x",
        "creator": "VGG Image Annotator (http://www.robots.ox.ac.uk/~vgg/software/via)",
        "created": 1,
        "vid_list": ["1", "2"],
    },
    "config": {"file": {"loc_prefix": {"1": ""}}, "ui": {}},
    "attribute": _ATTRIBUTE,
    "file": {
        "1": {"fid": "1", "fname": "a.mp4", "type": 4, "loc": 1, "src": ""},
        "2": {"fid": "2", "fname": "b.mp4", "type": 4, "loc": 1, "src": ""},
    },
    "metadata": {
        "1_aaaa": {"vid": "1", "flg": 0, "z": [0.25, 1.5], "xy": [], "av": {"1": "0"}},
        "1_bbbb": {"vid": "1", "flg": 0, "z": [1.5, 2], "xy": [], "av": {"1": "1"}},
        "2_cccc": {"vid": "2", "flg": 0, "z": [0.1, 1.0], "xy": [], "av": {"1": "0"}},
        "2_dddd": {"vid": "2", "flg": 0, "z": [0.5], "xy": [2, 1, 1, 5, 5], "av": {"2": "x"}},
    },
    "view": {"1": {"fid_list": ["1"]}, "2": {"fid_list": ["2"]}},
}
_VIA_CSV = (
    "# Exported using VGG Image Annotator (http://www.robots.ox.ac.uk/~vgg/software/via)\n"
    "# Notes:\n"
    '# SHAPE_ID = {"POINT":1,"RECTANGLE":2}\n'
    f"# ATTRIBUTE = {json.dumps(_ATTRIBUTE)}\n"
    "# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,metadata\n"
    '"1_aaaa","[""a.mp4""]",0,"[0.25,1.5]","[]","{""1"":""0""}"\n'
    '"1_bbbb","["a.mp4""]",0,"[1.5,2]","[]","{""1"":""1""}"\n'
    '"2_cccc","[""b.mp4""]",0,"[0.1,1.0]","[]","{""1"":""0""}"\n'
    '"2_dddd","[""b.mp4""]",0,"[0.5]","[2,1,1,5,5]","{""2"":""x""}"\n'
)
_EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2024-01-01T00:00:00+01:00" FORMAT="3.0" VERSION="3.0">
    <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
        <MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/Users/Ann/Videos/a.mp4" MIME_TYPE="video/mp4" RELATIVE_MEDIA_URL="./a.mp4" TIME_ORIGIN="100"/>
        <MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/Users/Ann/Videos/a.wav" MIME_TYPE="audio/x-wav" RELATIVE_MEDIA_URL="./a.wav"/>
    </HEADER>
    <TIME_ORDER>
        <TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="0"/>
        <TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="1234"/>
        <TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="1900"/>
    </TIME_ORDER>
    <TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="gesture">
        <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
            <ANNOTATION_VALUE>wave &lt;hand&gt;</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
        <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts2" TIME_SLOT_REF2="ts3">
            <ANNOTATION_VALUE>pöint</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
    </TIER>
    <TIER LINGUISTIC_TYPE_REF="note" PARENT_REF="gesture" TIER_ID="notes">
        <ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a3" ANNOTATION_REF="a1"><ANNOTATION_VALUE>x</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>
    </TIER>
    <LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="default-lt" TIME_ALIGNABLE="true"/>
</ANNOTATION_DOCUMENT>
"""
_BORIS_8 = (
    "Observation id,Observation date,Description,Observation duration,Observation type,Source,Media duration (s),FPS,"
    "Subject,Behavior,Behavioral category,Modifiers,Behavior type,Start (s),Stop (s),Duration (s),Media file name,Comment start,Comment stop\n"
    'obs1,2024-01-01,,2.0,Media file,player #1:videos/a.mp4,2.000,10.0,No focal subject,"groom, self",,,STATE,0.25,1.5,1.25,videos/a.mp4,,\n'
    "obs1,2024-01-01,,2.0,Media file,player #1:videos/a.mp4,2.000,10.0,cat,jump,,,POINT,0.5,0.5,0,videos/a.mp4,,\n"
)
_BORIS_6 = (
    "Observation id,Observation date,Description,Media file,Total length,FPS,Subject,Behavior,Behavioral category,Modifiers,"
    "Behavior type,Start (s),Stop (s),Duration (s),Comment start,Comment stop\n"
    "6008,2021-12-06 13:26:24,,T:\\Video Coding\\b.mp4,1.0,10.0,cat,rest,,,STATE,0.1,1.0,0.9,,\n"
)

EXAMPLES = {
    "labelstudio": Example(
        files={"export.json": json.dumps(_LABEL_STUDIO, indent=1)},
        videos={"videos/walk in.mp4": 20, "videos/deep/b.mp4": 10},
        rows=[
            ("videos/deep/b.mp4", "walk", 0.9, 1.0, None, None),
            ("videos/walk in.mp4", "run|été", 0.3, 2.0, None, None),
            ("videos/walk in.mp4", "walk", 0.0, 0.5, None, None),
        ],
        classes=("run", "walk", "été"),
        read_as="read as Label Studio timelines (1 results of other kinds are passed over): 3 samples",
        out="back.json",
    ),
    "cvat": Example(
        files={"annotations.xml": _CVAT},
        videos={"videos/a.mp4": 20},
        rows=[
            ("videos/a.mp4", "fall & rise", 0.2, 0.6, None, None),
            ("videos/a.mp4", "fall & rise", 1.0, 1.2, None, None),
            ("videos/a.mp4", "run", 1.6, 2.0, None, None),
        ],
        classes=("fall & rise", "run"),
        read_as="read as CVAT tracks (1 tags and shapes outside tracks are passed over): 3 samples",
    ),
    "via": Example(
        files={"via_project.json": json.dumps(_VIA)},
        videos={"videos/a.mp4": 20, "videos/b.mp4": 10},
        rows=[
            ("videos/a.mp4", "run, \"fast\"", 1.5, 2.0, None, None),
            ("videos/a.mp4", "walk", 0.25, 1.5, None, None),
            ("videos/b.mp4", "walk", 0.1, 1.0, None, None),
        ],
        classes=("run, \"fast\"", "walk"),
        read_as="read as VIA 3 (1 entries that are no segments are passed over): 3 samples",
        out="back.json",
    ),
    "via-csv": Example(
        files={"via.csv": _VIA_CSV},
        videos={"videos/a.mp4": 20, "videos/b.mp4": 10},
        rows=[
            ("videos/a.mp4", "run, \"fast\"", 1.5, 2.0, None, None),
            ("videos/a.mp4", "walk", 0.25, 1.5, None, None),
            ("videos/b.mp4", "walk", 0.1, 1.0, None, None),
        ],
        classes=("run, \"fast\"", "walk"),
        read_as="read as VIA 3 (1 entries that are no segments are passed over): 3 samples",
        out="back.csv",
    ),
    "elan": Example(
        files={"a.eaf": _EAF},
        videos={"videos/a.mp4": 20},
        rows=[
            ("videos/a.mp4", "pöint", 1.334, 2.0, None, None),
            ("videos/a.mp4", "wave <hand>", 0.1, 1.334, None, None),
        ],
        classes=("pöint", "wave <hand>"),
        read_as="read as ELAN, tier gesture: 2 samples",
    ),
    "boris": Example(
        files={"obs1.csv": _BORIS_8, "obs2.csv": _BORIS_6},
        videos={"videos/a.mp4": 20, "videos/b.mp4": 10},
        rows=[
            ("videos/a.mp4", "groom, self", 0.25, 1.5, None, None),
            ("videos/b.mp4", "rest", 0.1, 1.0, None, None),
        ],
        classes=("groom, self", "rest"),
        read_as="read as BORIS (1 point events, which have no length, are left out): 2 samples",
        out="back.csv",
    ),
}  # fmt: skip

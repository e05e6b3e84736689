"""Pictures: rows that are opened, checked, decoded and compared. Start with `pictures.py`."""

from transfuse.data.images.boxes import boxes_checked, picture_size
from transfuse.data.images.check import check_pictures, looked_at
from transfuse.data.images.decode import MOST_PIXELS, decode, decode_all
from transfuse.data.images.facts import PictureFacts, picture_facts
from transfuse.data.images.near import NearPictures, near_pairs, sketch_all
from transfuse.data.images.pictures import Picture, Pictures, pictures_of
from transfuse.data.images.sheet import pair_sheet, preview, strip

__all__ = [
    "MOST_PIXELS",
    "NearPictures",
    "Picture",
    "PictureFacts",
    "Pictures",
    "boxes_checked",
    "check_pictures",
    "decode",
    "decode_all",
    "looked_at",
    "near_pairs",
    "pair_sheet",
    "picture_facts",
    "picture_size",
    "pictures_of",
    "preview",
    "sketch_all",
    "strip",
]

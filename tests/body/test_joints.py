"""Joint sets: everything that is computed from the names."""

import pytest

from humesh.body.joints import COCO17, JOINT_SETS, MEDIAPIPE33, SMPL24, SMPL29, JointSet, mirrored_name


@pytest.mark.parametrize("joint_set", JOINT_SETS.values(), ids=JOINT_SETS.keys())
def test_the_mirror_is_its_own_inverse_and_swaps_sides(joint_set: JointSet) -> None:
    for i, j in enumerate(joint_set.mirror):
        assert joint_set.mirror[j] == i
        sided = {"left", "right"} & set(joint_set.names[i].split("_"))
        assert (i != j) == bool(sided), "every sided joint has its partner in the set"
        assert joint_set.names[j] == mirrored_name(joint_set.names[i])


def test_smpl_tree_is_the_published_one() -> None:
    published = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
    assert SMPL24.parents == published
    assert SMPL29.parents == (*published, 15, 22, 23, 10, 11)
    assert [len(level) for level in SMPL24.depths] == [1, 3, 3, 3, 5, 3, 2, 2, 2]


def test_maps_meet_by_name() -> None:
    here, there = MEDIAPIPE33.map_to(COCO17)
    assert len(here) == 17
    assert [MEDIAPIPE33.names[i] for i in here] == [COCO17.names[i] for i in there] == list(COCO17.names)


def test_a_wrong_name_is_refused_with_the_right_ones() -> None:
    with pytest.raises(ValueError, match=r"'coco17' has no joint 'left_elbo'; it has: nose, .*left_elbow"):
        COCO17.index("left_elbo")
    with pytest.raises(ValueError, match="distinct"):
        JointSet("twice", ("a", "a"))
    with pytest.raises(ValueError, match="'coco17' is not a tree"):
        _ = COCO17.parents

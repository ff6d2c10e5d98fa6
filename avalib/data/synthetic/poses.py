"""Key poses: what the motions of the synthetic data begin with, end in and pass through."""

from avalib.data.synthetic.puppet import build_pose

STANDING = build_pose()
SITTING = build_pose(trunk_pitch=-4, thigh=86, shin=2, leg_out=9, arm=28, elbow=48, arm_out=14, forearm_out=-8)
SITTING_LOW = build_pose(
    trunk_pitch=-12, thigh=122, shin=18, leg_out=10, arm=62, elbow=30, arm_out=8, forearm_out=-6
)  # on the ground, knees up
SQUAT = build_pose(trunk_pitch=24, thigh=108, shin=-38, leg_out=12, arm=70, elbow=38, arm_out=4, forearm_out=-10)
KNEELING = build_pose(trunk_pitch=4, thigh=4, shin=-86, leg_out=8, arm=22, elbow=40)
ONE_KNEE = build_pose(trunk_pitch=12, left_thigh=88, left_shin=0, right_thigh=-4, right_shin=-84, arm=40, elbow=45)
BENT = build_pose(trunk_pitch=78, thigh=-7, shin=3, arm=72, elbow=8, head_pitch=-10)
SUPINE = build_pose(trunk_pitch=-87, thigh=86, shin=88, arm=12, arm_out=32, elbow=10, forearm_out=28, head_pitch=4)
PRONE = build_pose(trunk_pitch=86, thigh=-85, shin=-86, arm=150, arm_out=30, elbow=-10, forearm_out=20, head_pitch=-20)
RESTING = build_pose(
    trunk_pitch=-86,
    left_thigh=126,
    left_shin=44,
    right_thigh=88,
    right_shin=88,
    arm=165,
    elbow=10,
    arm_out=28,
    forearm_out=-30,
    head_pitch=8,
)
HOLDING = build_pose(trunk_pitch=-3, arm=38, elbow=58, arm_out=4, forearm_out=-4)
REACHING = build_pose(
    trunk_pitch=62, thigh=52, shin=-42, arm=66, elbow=6, arm_out=6, forearm_out=2, leg_out=7, head_pitch=-15
)

# Movements as key poses: (part of the way 0..1, pose).
FALL_FORWARD = [
    (0.0, STANDING),
    (0.25, build_pose(trunk_pitch=22, thigh=32, shin=-34, arm=50, arm_out=35, elbow=25, head_pitch=-15)),
    (0.5, build_pose(trunk_pitch=48, thigh=45, shin=-84, arm=75, arm_out=25, elbow=20, head_pitch=-20)),
    (0.75, build_pose(trunk_pitch=68, thigh=-15, shin=-88, arm=110, arm_out=25, elbow=15, head_pitch=-25)),
    (1.0, PRONE),
]
FALL_BACK = [
    (0.0, STANDING),
    (0.25, build_pose(trunk_pitch=-10, thigh=38, shin=-26, arm=75, arm_out=50, elbow=15, head_pitch=15)),
    (0.5, build_pose(trunk_pitch=-22, thigh=92, shin=-14, arm=60, arm_out=60, elbow=10, head_pitch=20)),
    (0.75, build_pose(trunk_pitch=-52, thigh=112, shin=40, arm=30, arm_out=60, elbow=5, head_pitch=20)),
    (1.0, SUPINE),
]
LIFT_BOX = [(0.0, STANDING), (0.5, REACHING), (1.0, HOLDING)]

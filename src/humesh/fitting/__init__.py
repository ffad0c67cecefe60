"""From evidence to bodies at test time: the fit, inverse kinematics, clips, and motion through time."""

"""What a body is: joints by name, poses, the skinned model, forward and inverse kinematics, body files."""

"""The student: a segmentation network trained on masks, and its masks for new photographs."""

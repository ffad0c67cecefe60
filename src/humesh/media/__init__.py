"""Files in and out: photos, videos, webcams and addresses; films."""

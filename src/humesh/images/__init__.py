"""From files to photos and the people in them."""

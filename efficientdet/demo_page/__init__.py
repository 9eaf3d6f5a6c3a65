"""A page that shows what a detector finds in photos and in the camera's pictures, run by the browser itself."""

-- Whether an image has children is asked for each image of a list.
CREATE INDEX image_parent ON image (parent);

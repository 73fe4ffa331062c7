echo f > target; ln -s target l1; mkdir d; echo g > d/g; ln -s d l2

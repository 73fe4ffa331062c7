ln -s target l; ln -s d dl; echo t > target; mkdir d; echo x > d/x; ln -s x d/lx

cd tree; ln -s /etc/passwd abs; ln -s ../../../../etc up; ln -s none gone; ln -s sub dir; ln -s . self; ln -s l1 l2; ln -s l2 l1

setfattr -n user.two -v "a b" tree/f; setfattr -n user.dir -v d tree/sub

setfattr -n user.one -v 1 a; setfattr -n user.two -v "a b" tree/f; setfattr -n user.dir -v d tree/sub

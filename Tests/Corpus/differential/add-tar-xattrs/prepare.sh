setfattr -n user.k -v v tree/f; setfattr -n user.d -v w tree/sub; tar --owner=0 --group=0 --xattrs --format=pax -cf a.tar tree; rm -r tree

tar --owner=0 --group=0 -cf a.tar tree/f tree/sub/g; rm -r tree

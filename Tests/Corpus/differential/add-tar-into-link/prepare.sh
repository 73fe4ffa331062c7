tar --owner=0 --group=0 -cf a.tar tree; rm -r tree

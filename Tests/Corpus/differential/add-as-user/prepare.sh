tar --owner=3 --group=4 -cf a.tar tree; rm -r tree

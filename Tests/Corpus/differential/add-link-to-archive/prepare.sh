tar --owner=0 --group=0 -cf a.tar tree; ln -s a.tar l; rm -r tree

tar --owner=0 --group=0 -cjf a.tar.bz2 tree; rm -r tree

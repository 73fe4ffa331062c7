tar --owner=0 --group=0 -cJf a.tar.xz tree; rm -r tree

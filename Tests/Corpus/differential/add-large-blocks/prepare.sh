seq 1 300000 > one; seq 300000 -1 1 > two; tar --owner=0 --group=0 -cf - one two | bzip2 -9 > a.tar.bz2; tar --owner=0 --group=0 --transform=s/^/x-/ -cf - one two | xz -9 > b.tar.xz; rm one two

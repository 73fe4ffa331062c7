for f in v7 ustar gnu pax oldgnu; do echo $f > in-$f; tar --owner=5 --group=6 --format=$f -cf $f.tar in-$f; rm in-$f; done

for n in one two; do echo $n > f-$n; tar --owner=0 --group=0 -cf $n.tar f-$n; rm f-$n; done; echo text | gzip -n > text.gz

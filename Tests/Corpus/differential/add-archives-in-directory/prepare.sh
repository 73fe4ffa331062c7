tar cf tree/a.tar tree/f; gzip -n tree/sub/g

tar --owner=0 --group=0 -c --zstd -f a.tar.zst tree; rm -r tree

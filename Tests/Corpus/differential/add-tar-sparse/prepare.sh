truncate -s 3M a; printf x | dd of=a bs=1 seek=2000000 conv=notrunc status=none; tar -S --owner=0 --group=0 --format=pax -cf a.tar a; rm a

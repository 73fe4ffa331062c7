mkdir t; echo 1 > t/ü; echo 2 > "t/é"; echo 3 > t/日本; tar --owner=0 --group=0 --format=pax -cf a.tar t; rm -r t

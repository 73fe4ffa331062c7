mkdir t; echo 1 > t/f; echo 1 > t/one; tar --owner=0 --group=0 -cf a.tar t; rm t/one; echo 2 > t/f; echo 2 > t/two; chmod 700 t; tar --owner=0 --group=0 -cf b.tar t; rm -r t

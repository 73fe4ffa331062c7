mkdir t && echo new > t/f && tar --owner=0 --group=0 -cf a.tar t && rm -r t

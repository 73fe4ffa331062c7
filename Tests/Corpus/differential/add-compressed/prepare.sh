mkdir t && echo f > t/f && tar --owner=0 --group=0 -czf a.tar.gz t && rm -r t

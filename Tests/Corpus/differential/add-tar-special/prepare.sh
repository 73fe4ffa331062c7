mkdir t; mkfifo -m 640 t/pipe; mknod t/null c 1 3; echo x > t/suid; chmod 6755 t/suid; tar --owner=0 --group=0 -cf a.tar t; rm -r t

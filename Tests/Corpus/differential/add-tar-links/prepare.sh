cd tree; ln -s f l; ln f hard; ln -s /etc/passwd abs; ln -s ../.. up; cd ..; tar --owner=0 --group=0 -cf a.tar tree; rm -r tree

mkdir dir; ln -s /a abs; ln -s /tree/f dir/abs

rm prepare.sh; mkdir 日本; echo 1 > "ü ber.txt"; echo 2 > 日本/ファイル.txt; echo 3 > 日本/é.txt; echo 4 > "日本/é.txt"; echo 5 > 😀; touch prepare.sh

2"This is the first document, Apple.2#2  c 2ÜNÏ ünï ΣΑΣ ßtr2the-is x_1 #2, c;d2
日本 語Boutput_0
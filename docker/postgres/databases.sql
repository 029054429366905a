-- The databases beside shop, which the image itself makes.
CREATE DATABASE sink_a;
CREATE DATABASE sink_b;
CREATE DATABASE registry;

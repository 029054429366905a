-- The source: a small shop, some rows that a first snapshot finds, and what its customers do.

CREATE TABLE customers (
    id      bigserial PRIMARY KEY,
    email   varchar(120) NOT NULL UNIQUE,
    name    text NOT NULL,
    credit  numeric(12, 2) NOT NULL,
    created timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE orders (
    id          bigserial PRIMARY KEY,
    customer_id bigint NOT NULL,
    status      text NOT NULL,
    total       numeric(12, 2) NOT NULL,
    placed      timestamp NOT NULL DEFAULT now()
);

CREATE TABLE order_items (
    order_id bigint NOT NULL,
    line     int NOT NULL,
    sku      varchar(40) NOT NULL,
    quantity int NOT NULL,
    PRIMARY KEY (order_id, line)
);

CREATE TABLE notes (
    id     bigserial PRIMARY KEY,
    amount numeric(12, 2),
    body   text NOT NULL
);

-- A delete then holds the whole row: sink-b keeps deleted rows, and would keep them with invented columns otherwise.
ALTER TABLE customers REPLICA IDENTITY FULL;
ALTER TABLE orders REPLICA IDENTITY FULL;
ALTER TABLE order_items REPLICA IDENTITY FULL;
ALTER TABLE notes REPLICA IDENTITY FULL;

CREATE FUNCTION place_order() RETURNS bigint LANGUAGE sql AS $$
    WITH placed AS (
        INSERT INTO orders (customer_id, status, total)
        SELECT id, 'NEW', round((random() * 500)::numeric, 2) FROM customers ORDER BY random() LIMIT 1
        RETURNING id
    ), items AS (
        INSERT INTO order_items (order_id, line, sku, quantity)
        SELECT id, line, 'sku-' || (random() * 1000)::int, 1 + (random() * 4)::int
        FROM placed, generate_series(1, 3) AS line
    )
    SELECT id FROM placed;
$$;

-- One moment of the shop's life, in one transaction: inserts, updates and deletes on every table.
CREATE PROCEDURE trade() LANGUAGE sql AS $$
    SELECT place_order();
    UPDATE orders SET status = 'SHIPPED'
        WHERE id = (SELECT id FROM orders WHERE status = 'NEW' ORDER BY random() LIMIT 1);
    UPDATE customers SET credit = credit + round((random() * 10)::numeric, 2)
        WHERE id = (SELECT id FROM customers ORDER BY random() LIMIT 1);
    DELETE FROM order_items WHERE order_id = (SELECT min(id) FROM orders) AND (SELECT count(*) FROM orders) > 120;
    DELETE FROM orders WHERE id = (SELECT min(id) FROM orders) AND (SELECT count(*) FROM orders) > 120;
    DELETE FROM notes WHERE id = (SELECT min(id) FROM notes) AND (SELECT count(*) FROM notes) > 50;
    INSERT INTO notes (amount, body) SELECT round((random() * 100)::numeric, 2), md5(random()::text);
$$;

INSERT INTO customers (email, name, credit)
    SELECT 'customer' || number || '@shop.example', 'Customer ' || number, 100 FROM generate_series(1, 50) AS number;
INSERT INTO notes (amount, body) SELECT number, 'a note' FROM generate_series(1, 50) AS number;
SELECT count(place_order()) FROM generate_series(1, 100);

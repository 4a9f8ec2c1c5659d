// Rows of one height, of which only those in sight exist: that is why 20,000 of them scroll.

const BEYOND = 12;

class Sight {
  /** Show rows in `holder`, which `scroller` scrolls; `draw(position)` makes the element of one. Up to `all` all exist. */
  constructor(scroller, holder, height, all, draw) {
    Object.assign(this, { scroller, holder, height, all, draw, total: 0, first: 0, last: 0 });
    scroller.addEventListener("scroll", () => this.follow(), { passive: true });
    new ResizeObserver(() => this.follow()).observe(scroller);
  }

  show(total) {
    this.total = total;
    [this.first, this.last] = this.range();
    const made = [];
    for (let position = this.first; position < this.last; position++) made.push(this.draw(position));
    this.holder.replaceChildren(...made);
    this.holder.style.paddingTop = `${this.first * this.height}px`;
    this.holder.style.paddingBottom = `${(total - this.last) * this.height}px`;
  }

  follow() {
    const [first, last] = this.range();
    if (first !== this.first || last !== this.last) this.show(this.total);
  }

  range() {
    if (this.total <= this.all) return [0, this.total];
    const top = Math.floor(this.scroller.scrollTop / this.height);
    const rows = Math.ceil(this.scroller.clientHeight / this.height);
    // In steps, so that most scrolling redraws nothing.
    const first = Math.max(0, Math.floor((top - BEYOND) / BEYOND) * BEYOND);
    return [Math.min(first, this.total), Math.min(this.total, first + rows + 4 * BEYOND)];
  }

  element(position) {
    return this.holder.children[position - this.first];
  }

  /** Draw one row again. */
  refresh(position) {
    this.element(position)?.replaceWith(this.draw(position));
  }

  reveal(position) {
    const top = position * this.height;
    const room = this.scroller.clientHeight - this.holder.parentElement.offsetTop + this.scroller.offsetTop - this.height;
    if (top < this.scroller.scrollTop) this.scroller.scrollTop = top;
    else if (top > this.scroller.scrollTop + room) this.scroller.scrollTop = top - room;
    this.follow();
  }
}
